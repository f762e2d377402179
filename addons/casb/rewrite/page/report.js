// --- what escaped all the same ------------------------------------------------------------------------------------------

const reported = new Set();
/** Tell the proxy, once for each kind and host, that the page asked for an application by its real name. */
const report = (kind, address) => {
  const url = parsed(String(address));
  if (!url || !page || reported.size >= 20) return;
  const key = `${kind} ${url.host}`;
  if (reported.has(key)) return;
  reported.add(key);
  quietly(() =>
    nativeFetch(`${page}${BASE}report`, {
      method: "POST", keepalive: true, credentials: "same-origin", mode: "same-origin",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ kind, host: url.host.slice(0, 300) }),
    }).catch(() => {}),
  );
};
const isEscape = (address) => {
  const url = parsed(address);
  return url !== null && url.protocol in SECURE && suffixHost(url.hostname, url.port) !== "";
};

if (config.suffix && !entered) {
  const entryName = getOwnPropertyDescriptor(here.PerformanceEntry?.prototype ?? {}, "name")?.get;
  quietly(() =>
    new PerformanceObserver((list) => {
      for (const entry of list.getEntries()) {
        const name = apply(entryName, entry, []);
        if (isEscape(name)) report("request", name);
      }
    }).observe({ type: "resource", buffered: true }),
  );
  const blockedUri = getOwnPropertyDescriptor(here.SecurityPolicyViolationEvent?.prototype ?? {}, "blockedURI")?.get;
  if (blockedUri) {
    (inWindow ? document : here).addEventListener("securitypolicyviolation", (event) => {
      const address = apply(blockedUri, event, []);
      if (isEscape(address)) report("violation", address);
    }, true);
  }
}
