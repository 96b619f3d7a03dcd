// Drawing in white on black, and the drawing as MNIST has its digits: scaled into the middle 20 of 28 pixels, its weight in the centre.

const WIDTH_OF_LINE = 1 / 14;
const INNER = 20 / 28;
const INK = 16;

/** The box around what is drawn and its centre of weight, in pixels of RGBA data; null where nothing is. */
export function inkOf(data, width, height) {
  let [left, top, right, bottom] = [width, height, -1, -1];
  let [weight, x, y] = [0, 0, 0];
  for (let row = 0; row < height; row += 1) {
    for (let column = 0; column < width; column += 1) {
      const level = data[4 * (row * width + column)];
      if (level < INK) continue;
      left = Math.min(left, column);
      right = Math.max(right, column);
      top = Math.min(top, row);
      bottom = Math.max(bottom, row);
      weight += level;
      x += level * (column + 0.5);
      y += level * (row + 0.5);
    }
  }
  if (weight === 0) return null;
  return { left, top, width: right - left + 1, height: bottom - top + 1, x: x / weight, y: y / weight };
}

const fit = (at, size, whole) => Math.min(Math.max(at, 0), Math.max(0, whole - size));

/** Where ink of such a box lies in a picture of `width` by `height`: scaled to fit its inner part, its weight in the middle. */
export function placeOf(ink, width, height) {
  const scale = Math.min((INNER * width) / ink.width, (INNER * height) / ink.height);
  return {
    x: fit(width / 2 - (ink.x - ink.left) * scale, ink.width * scale, width),
    y: fit(height / 2 - (ink.y - ink.top) * scale, ink.height * scale, height),
    width: ink.width * scale,
    height: ink.height * scale,
  };
}

/** A canvas that is drawn on with whatever points. `onStroke` is called at the end of each line. */
export class Drawing {
  constructor(canvas, onStroke) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d", { willReadFrequently: true });
    this.clear();
    let last = null;
    canvas.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      canvas.setPointerCapture(event.pointerId);
      last = this.#at(event);
      this.#line(last, last);
    });
    canvas.addEventListener("pointermove", (event) => {
      if (last === null) return;
      for (const each of event.getCoalescedEvents?.() ?? [event]) {
        const now = this.#at(each);
        this.#line(last, now);
        last = now;
      }
    });
    for (const name of ["pointerup", "pointercancel"]) {
      canvas.addEventListener(name, () => {
        if (last === null) return;
        last = null;
        onStroke();
      });
    }
  }

  #at(event) {
    const box = this.canvas.getBoundingClientRect();
    const { width, height } = this.canvas;
    return [((event.clientX - box.left) * width) / box.width, ((event.clientY - box.top) * height) / box.height];
  }

  #line(from, to) {
    const { context, canvas } = this;
    Object.assign(context, { strokeStyle: "#fff", lineWidth: canvas.width * WIDTH_OF_LINE, lineCap: "round", lineJoin: "round" });
    context.beginPath();
    context.moveTo(...from);
    context.lineTo(...to);
    context.stroke();
  }

  clear() {
    this.context.fillStyle = "#000";
    this.context.fillRect(0, 0, this.canvas.width, this.canvas.height);
  }

  /** A PNG of such a size; null where nothing is drawn. */
  async png(width, height) {
    const { canvas, context } = this;
    const ink = inkOf(context.getImageData(0, 0, canvas.width, canvas.height).data, canvas.width, canvas.height);
    if (ink === null) return null;
    const place = placeOf(ink, width, height);
    const small = document.createElement("canvas");
    Object.assign(small, { width, height });
    const target = small.getContext("2d");
    target.fillStyle = "#000";
    target.fillRect(0, 0, width, height);
    target.imageSmoothingQuality = "high";
    target.drawImage(canvas, ink.left, ink.top, ink.width, ink.height, place.x, place.y, place.width, place.height);
    return new Promise((resolve) => small.toBlob(resolve, "image/png"));
  }
}
