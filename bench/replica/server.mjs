// A replica as one would write it with Node.js: sharp decodes and resizes, ONNX Runtime classifies. It answers POST /predict with five
// labels, as ours does, and says on stderr that it is ready, as ours does.
// usage: node server.mjs MODEL.onnx[.gz] LABELS.json PROCESSES   (the CPUs are divided among the processes)
import cluster from 'node:cluster';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { availableParallelism } from 'node:os';
import { gunzipSync } from 'node:zlib';
import ort from 'onnxruntime-node';
import sharp from 'sharp';

const [path, labelsFile, processes] = process.argv.slice(2);

if (cluster.isPrimary) {
  let listening = 0;
  cluster.on('listening', (worker, { port }) => {
    if (++listening === Number(processes)) {
      console.error(JSON.stringify({ msg: 'replica ready', url: `http://127.0.0.1:${port}` }));
    }
  });
  cluster.on('exit', () => process.exit(1)); // nobody restarts workers in a measurement
  process.on('SIGINT', () => process.exit(0));
  for (let i = 0; i < Number(processes); i++) cluster.fork();
} else {
  process.on('disconnect', () => process.exit(0)); // the primary has ended
  await serve();
}

async function serve() {
  const labels = JSON.parse(readFileSync(labelsFile));
  let model = readFileSync(path);
  if (path.endsWith('.gz')) model = gunzipSync(model);
  const session = await ort.InferenceSession.create(model, {
    intraOpNumThreads: Math.max(1, Math.floor(availableParallelism() / Number(processes))),
    interOpNumThreads: 1,
    executionMode: 'sequential',
    graphOptimizationLevel: 'all',
  });

  async function predict(file) {
    const out = await session.run({ [session.inputNames[0]]: new ort.Tensor('float32', await input(file), [1, 3, 224, 224]) });
    return top5(out[session.outputNames[0]].data).map((i) => labels[i]);
  }

  await predict(await sharp({ create: { width: 300, height: 300, channels: 3, background: '#888' } }).png().toBuffer());
  const server = createServer(async (request, response) => {
    try {
      const chunks = [];
      for await (const chunk of request) chunks.push(chunk);
      response.setHeader('Content-Type', 'application/json');
      response.end(JSON.stringify({ predictions: await predict(Buffer.concat(chunks)) }));
    } catch (error) {
      response.statusCode = 400;
      response.end(JSON.stringify({ error: String(error) }));
    }
  });
  server.listen(0, '127.0.0.1');
}

// input is the center of the picture, its shorter side resized to 256, as floats with channels first.
async function input(file) {
  const picture = sharp(file);
  const { width, height } = await picture.metadata();
  const scale = 256 / Math.min(width, height);
  const [w, h] = [width, height].map((side) => Math.max(256, Math.floor(side * scale)));
  const pixels = await picture
    .resize(w, h, { fit: 'fill', kernel: 'linear' })
    .extract({ left: (w - 224) >> 1, top: (h - 224) >> 1, width: 224, height: 224 })
    .removeAlpha()
    .toColourspace('srgb')
    .raw()
    .toBuffer();
  const size = 224 * 224;
  const x = new Float32Array(3 * size);
  for (let i = 0, p = 0; i < size; i++, p += 3) {
    x[i] = (pixels[p] / 255 - 0.485) / 0.229;
    x[size + i] = (pixels[p + 1] / 255 - 0.456) / 0.224;
    x[2 * size + i] = (pixels[p + 2] / 255 - 0.406) / 0.225;
  }
  return x;
}

function top5(logits) {
  return Array.from(logits.keys()).sort((a, b) => logits[b] - logits[a]).slice(0, 5);
}
