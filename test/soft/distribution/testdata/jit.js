// Functions hot enough that the engine compiles them: integers, floating point, strings, arrays, closures.
"use strict";
const { createHash } = require("crypto");

function sieve(n) {
  const composite = new Uint8Array(n + 1);
  let count = 0;
  for (let i = 2; i <= n; i++) {
    if (composite[i]) continue;
    count++;
    for (let j = i * 2; j <= n; j += i) composite[j] = 1;
  }
  return count;
}

function mandelbrot(size) {
  let inside = 0;
  for (let y = 0; y < size; y++) {
    for (let x = 0; x < size; x++) {
      const cr = (2 * x) / size - 1.5, ci = (2 * y) / size - 1;
      let zr = 0, zi = 0, i = 0;
      for (; i < 50 && zr * zr + zi * zi < 4; i++) {
        const t = zr * zr - zi * zi + cr;
        zi = 2 * zr * zi + ci;
        zr = t;
      }
      if (i === 50) inside++;
    }
  }
  return inside;
}

function fnv(text) {
  let h = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193) >>> 0;
  return h;
}

class Vector {
  constructor(x, y) { this.x = x; this.y = y; }
  plus(o) { return new Vector(this.x + o.x, this.y + o.y); }
}

let v = new Vector(0, 0);
for (let i = 0; i < 20000; i++) v = v.plus(new Vector(i, i / 2));
let deoptimised = 0;
for (const a of [1, 1.5, "2", null, undefined, 10n ** 20n]) {
  for (let i = 0; i < 2000; i++) deoptimised += String(a).length;
}
const words = [];
for (let i = 0; i < 5000; i++) words.push(((i * 7919) % 5003).toString(36));
words.sort();
console.log("primes", sieve(200000));
console.log("mandelbrot", mandelbrot(80));
console.log("fnv", fnv("mayfly".repeat(5000)));
console.log("vector", v.x, v.y);
console.log("deoptimised", deoptimised);
console.log("sorted", createHash("sha256").update(words.join()).digest("hex"));
console.log("regexp", words.join(" ").replace(/([a-z])(\d)/g, "$2$1").length);
console.log("big", (3n ** 500n % (2n ** 127n - 1n)).toString());
