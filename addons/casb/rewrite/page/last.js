// --- every part into this realm -----------------------------------------------------------------------------------------

const install = (realm) => {
  for (const each of config.suffix ? parts : always) quietly(() => each(realm));
};
if (entered) {
  entered.enter(here);
  entered.renew?.(here);
} else {
  if (config.suffix || always.length) install(here);
  if (!config.suffix && inWindow) quietly(() => watchAnswers(here));
}
const exposed = { realm: here, url: outward, enter };
if (show) exposed.show = show;
if (renew) exposed.renew = renew;
defineProperty(here, KEY, { value: Object.freeze(exposed) });
