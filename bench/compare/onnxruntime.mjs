// Times ONNX Runtime on one image, as a contestant of compare (protocol: see main.go).
// usage: node onnxruntime.mjs MODEL.onnx[.gz] THREADS CROP.rgb
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { gunzipSync } from 'node:zlib';
import ort from 'onnxruntime-node';

const [path, threads, crop] = process.argv.slice(2);
let model = readFileSync(path);
if (path.endsWith('.gz')) model = gunzipSync(model);
const session = await ort.InferenceSession.create(model, {
  intraOpNumThreads: Number(threads),
  interOpNumThreads: 1,
  executionMode: 'sequential',
  graphOptimizationLevel: 'all',
});

const mean = [0.485, 0.456, 0.406];
const std = [0.229, 0.224, 0.225];
const pixels = readFileSync(crop);
const input = new Float32Array(3 * 224 * 224);
for (let i = 0; i < 224 * 224; i++) {
  for (let c = 0; c < 3; c++) input[c * 224 * 224 + i] = (pixels[3 * i + c] / 255 - mean[c]) / std[c];
}
const feeds = { [session.inputNames[0]]: new ort.Tensor('float32', input, [1, 3, 224, 224]) };

async function once() {
  const start = process.hrtime.bigint();
  const out = await session.run(feeds);
  const seconds = Number(process.hrtime.bigint() - start) / 1e9;
  const logits = out[session.outputNames[0]].data;
  return { seconds, top1: logits.indexOf(Math.max(...logits)) };
}

for (let i = 0; i < 3; i++) await once();
console.log(JSON.stringify({ ready: `ONNX Runtime ${JSON.parse(readFileSync(new URL('../node_modules/onnxruntime-node/package.json', import.meta.url))).version}` }));
for await (const line of createInterface({ input: process.stdin })) {
  const seconds = [];
  let top1;
  for (let i = 0; i < Number(line); i++) {
    const r = await once();
    seconds.push(r.seconds);
    top1 = r.top1;
  }
  console.log(JSON.stringify({ seconds, top1 }));
}
