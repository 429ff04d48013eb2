// Everything happens on this machine: neither gate nor pictures are sent anywhere.
import { Detector, Engine } from 'energate';

const element = (id) => document.getElementById(id);
const say = (text) => {
  const line = document.createElement('li');
  line.textContent = text;
  element('decisions').append(line);
};

let detector;

element('gate').addEventListener('change', async ({ target }) => {
  try {
    const [file] = target.files;
    say(`${file.name}: compiling its network`);
    detector = await Detector.load(await Engine.open(), new Uint8Array(await file.arrayBuffer()), {
      source: file.name,
    });
    element('pictures').disabled = false;
    say('ready');
  } catch (error) {
    say(error.message);
  }
});

element('pictures').addEventListener('change', async ({ target }) => {
  try {
    const files = [...target.files];
    const decisions = await detector.check(await Promise.all(files.map((file) => createImageBitmap(file))));
    decisions.forEach(({ accepted, className, label, pValue }, i) => {
      const what = accepted ? `accepted as ${className ?? `class ${label}`}` : 'refused';
      say(`${files[i].name}: ${what} (p = ${pValue.toFixed(3)})`);
    });
  } catch (error) {
    say(error.message);
  }
});
