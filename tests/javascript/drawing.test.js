// A digit that was drawn, brought to where MNIST has its digits.
import assert from "node:assert/strict";
import { test } from "node:test";
import { inkOf, placeOf } from "../../service/web/static/drawing.js";

/** RGBA data of a black picture with white boxes, each [left, top, width, height, level]. */
function picture(width, height, ...boxes) {
  const data = new Uint8ClampedArray(4 * width * height);
  for (const [left, top, across, down, level = 255] of boxes) {
    for (let row = top; row < top + down; row += 1) {
      for (let column = left; column < left + across; column += 1) data.fill(level, 4 * (row * width + column), 4 * (row * width + column) + 3);
    }
  }
  return data;
}

test("an empty picture has no ink, and neither has one that is nearly black", () => {
  assert.equal(inkOf(picture(8, 8), 8, 8), null);
  assert.equal(inkOf(picture(8, 8, [0, 0, 8, 8, 15]), 8, 8), null);
  assert.equal(inkOf(new Uint8ClampedArray(), 0, 0), null);
});

test("ink is told by its box and its centre of weight", () => {
  assert.deepEqual(inkOf(picture(10, 20, [3, 5, 4, 2]), 10, 20), { left: 3, top: 5, width: 4, height: 2, x: 5, y: 6 });
  assert.deepEqual(inkOf(picture(5, 5, [4, 4, 1, 1, 16]), 5, 5), { left: 4, top: 4, width: 1, height: 1, x: 4.5, y: 4.5 });
});

test("what is brighter weighs more", () => {
  const { x, y } = inkOf(picture(10, 10, [0, 0, 1, 1, 200], [9, 9, 1, 1, 100]), 10, 10);
  assert.ok(Math.abs(x - 3.5) < 1e-9 && Math.abs(y - 3.5) < 1e-9);
});

test("ink is scaled into the middle 20 of 28 pixels, by its longer side", () => {
  for (const [width, height] of [[100, 50], [3, 3], [1, 280]]) {
    const place = placeOf({ left: 7, top: 9, width, height, x: 7 + width / 2, y: 9 + height / 2 }, 28, 28);
    assert.ok(Math.abs(Math.max(place.width, place.height) - 20) < 1e-9);
    assert.ok(Math.abs(place.width / place.height - width / height) < 1e-9);
    assert.ok(Math.abs(place.x + place.width / 2 - 14) < 1e-9 && Math.abs(place.y + place.height / 2 - 14) < 1e-9);
  }
});

test("the centre of weight comes into the middle, and nothing leaves the picture", () => {
  const heavyBelow = placeOf({ left: 0, top: 0, width: 20, height: 20, x: 10, y: 13 }, 28, 28);
  assert.deepEqual([heavyBelow.x, heavyBelow.y], [4, 1]);
  const oneSided = placeOf({ left: 0, top: 0, width: 20, height: 20, x: 0.5, y: 19.5 }, 28, 28);
  assert.deepEqual([oneSided.x, oneSided.y], [8, 0]);
});

test("a model's picture may be wide", () => {
  const place = placeOf({ left: 0, top: 0, width: 10, height: 10, x: 5, y: 5 }, 56, 28);
  assert.deepEqual([place.width, place.height, place.x, place.y], [20, 20, 18, 4]);
});
