// Times ONNX Runtime on one image, as a contestant of compare (protocol: see contestant.go).
// usage: node onnxruntime.mjs MODEL.onnx[.gz] THREADS CROPS.rgb
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { gunzipSync } from 'node:zlib';
import ort from 'onnxruntime-node';

const [path, threads, file] = process.argv.slice(2);
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
const size = 224 * 224;
const crops = readFileSync(file);

function feeds(crop) {
  const input = new Float32Array(3 * size);
  for (let i = 0; i < size; i++) {
    for (let c = 0; c < 3; c++) input[c * size + i] = (crop[3 * i + c] / 255 - mean[c]) / std[c];
  }
  return { [session.inputNames[0]]: new ort.Tensor('float32', input, [1, 3, 224, 224]) };
}

async function classify(feeds) {
  const start = process.hrtime.bigint();
  const out = await session.run(feeds);
  const seconds = Number(process.hrtime.bigint() - start) / 1e9;
  const logits = out[session.outputNames[0]].data;
  return { seconds, label: logits.indexOf(Math.max(...logits)) };
}

const timed = feeds(crops);
for (let i = 0; i < 5; i++) await classify(timed);
console.log(JSON.stringify({ ready: `ONNX Runtime ${JSON.parse(readFileSync(new URL('../node_modules/onnxruntime-node/package.json', import.meta.url))).version}` }));
for await (const line of createInterface({ input: process.stdin })) {
  const answer = {};
  if (line === 'labels') {
    answer.labels = [];
    for (let at = 0; at < crops.length; at += 3 * size) {
      answer.labels.push((await classify(feeds(crops.subarray(at, at + 3 * size)))).label);
    }
  } else {
    answer.seconds = [];
    for (let i = 0; i < Number(line); i++) answer.seconds.push((await classify(timed)).seconds);
  }
  console.log(JSON.stringify(answer));
}
