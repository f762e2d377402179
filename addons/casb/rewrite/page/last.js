// --- every part into this realm -----------------------------------------------------------------------------------------

const install = (realm) => {
  for (const each of parts) quietly(() => each(realm));
};
if (entered) entered.enter(here);
else if (config.suffix) install(here);
else if (inWindow) quietly(() => watchAnswers(here));
const exposed = { realm: here, url: outward, enter };
if (show) exposed.show = show;
defineProperty(here, KEY, { value: Object.freeze(exposed) });
