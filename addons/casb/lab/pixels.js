// The share of pixels that differ between two PNG pictures (base64), and a picture of where: evaluated in an empty page.
async ([one, other]) => {
  const load = async (text) => createImageBitmap(new Blob([Uint8Array.from(atob(text), (c) => c.charCodeAt(0))]));
  const [a, b] = [await load(one), await load(other)];
  const width = Math.max(a.width, b.width), height = Math.max(a.height, b.height);
  const data = (bitmap) => {
    const canvas = new OffscreenCanvas(width, height);
    const context = canvas.getContext("2d");
    context.drawImage(bitmap, 0, 0);
    return context.getImageData(0, 0, width, height).data;
  };
  const [first, second] = [data(a), data(b)];
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d");
  const picture = context.createImageData(width, height);
  let differing = 0;
  for (let at = 0; at < first.length; at += 4) {
    const far = Math.abs(first[at] - second[at]) + Math.abs(first[at + 1] - second[at + 1]) + Math.abs(first[at + 2] - second[at + 2]);
    const differs = far > 48;
    differing += differs;
    const grey = 255 - (255 - (first[at] + first[at + 1] + first[at + 2]) / 3) * 0.25;
    picture.data.set(differs ? [207, 38, 62, 255] : [grey, grey, grey, 255], at);
  }
  context.putImageData(picture, 0, 0);
  const bytes = new Uint8Array(await (await canvas.convertToBlob({ type: "image/png" })).arrayBuffer());
  let text = "";
  for (let at = 0; at < bytes.length; at += 8192) text += String.fromCharCode(...bytes.subarray(at, at + 8192));
  return [differing / (width * height), btoa(text)];
}
