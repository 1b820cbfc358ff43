// Where a picture is drawn or dropped; `about` says how the model's test instances hold theirs.
class Pad {
  constructor(panel, about) {
    this.panel = panel;
    this.about = about;
    this.canvas = panel.find("canvas");
    this.context = this.canvas.getContext("2d", {willReadFrequently: true});
    this.size = [about.width || 28, about.height || 28];
    this.measure();
    this.clear();
    this.listen();
  }

  // What is drawn is sent in the size of the test instances, where these are small.
  measure() {
    const thumbnail = this.thumbnail(this.panel.example);
    thumbnail?.decode().then(() => {
      const {naturalWidth, naturalHeight} = thumbnail;
      if (Math.max(naturalWidth, naturalHeight) <= 280) this.size = [naturalWidth, naturalHeight];
    }).catch(() => {});
  }

  listen() {
    const {canvas, panel} = this;
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      this.last = this.locate(event);
      this.stroke(this.last);
    });
    canvas.addEventListener("pointermove", (event) => { if (this.last) this.stroke(this.locate(event)); });
    canvas.addEventListener("pointerup", () => { if (this.last) { this.last = null; this.sendDrawing(); } });
    canvas.addEventListener("pointercancel", () => { this.last = null; });
    canvas.addEventListener("keydown", (event) => {
      if (event.key === "Enter" || event.key === " ") { event.preventDefault(); panel.find("input[type=file]").click(); }
      if (event.key === "Delete" || event.key === "Escape") this.clear();
    });
    canvas.addEventListener("dragover", (event) => { event.preventDefault(); canvas.classList.add("over"); });
    canvas.addEventListener("dragleave", () => canvas.classList.remove("over"));
    canvas.addEventListener("drop", (event) => {
      event.preventDefault();
      canvas.classList.remove("over");
      this.take(event.dataTransfer.files[0]);
    });
    panel.section.addEventListener("paste", (event) => {
      const file = [...event.clipboardData.files].find((one) => one.type.startsWith("image/"));
      if (file) { event.preventDefault(); this.take(file); }
    });
    const input = panel.find("input[type=file]");
    input.addEventListener("change", () => { this.take(input.files[0]); input.value = ""; });
    panel.find(".choose").addEventListener("click", () => input.click());
    panel.find(".clear").addEventListener("click", () => this.clear());
  }

  locate(event) {
    const box = this.canvas.getBoundingClientRect();
    return [(event.clientX - box.left) * 280 / box.width, (event.clientY - box.top) * 280 / box.height];
  }

  stroke(to) {
    const {context} = this;
    context.strokeStyle = "#fff";
    context.lineWidth = 20;
    context.lineCap = context.lineJoin = "round";
    context.beginPath();
    context.moveTo(...this.last);
    context.lineTo(...to);
    context.stroke();
    this.last = to;
  }

  clear() {
    this.context.fillStyle = "#000";
    this.context.fillRect(0, 0, 280, 280);
  }

  sendDrawing() {
    this.panel.press(null);
    const value = this.about.kind === "rows" ? this.readRows(this.canvas) : this.shrink(this.canvas).toDataURL("image/png");
    this.sendValue(value);
  }

  // Any picture file: as it is where the model takes files, as grey values where it takes rows.
  async take(file) {
    if (!file) return;
    const url = await new Promise((resolve) => {
      const reader = new FileReader();
      reader.addEventListener("load", () => resolve(reader.result));
      reader.readAsDataURL(file);
    });
    const image = new Image();
    image.src = url;
    this.panel.press(null);
    try {
      await image.decode();
    } catch {
      this.panel.showNothing(`${file.name} is no picture that this browser can read`);
      return;
    }
    this.paint(image);
    this.sendValue(this.about.kind === "rows" ? this.readRows(image) : url);
  }

  sendValue(value) {
    const {path, kind} = this.about;
    const given = look(this.panel.example, path);
    const bare = kind === "file" && !String(given).startsWith("data:") ? value.slice(value.indexOf(",") + 1) : value;
    this.panel.body.value = indent(place(this.panel.example, path, bare));
    this.panel.send();
  }

  show(url) {
    const image = new Image();
    image.src = url;
    image.decode().then(() => this.paint(image));
  }

  paint(image) {
    this.clear();
    const scale = Math.min(280 / image.naturalWidth, 280 / image.naturalHeight);
    const [width, height] = [image.naturalWidth * scale, image.naturalHeight * scale];
    this.context.imageSmoothingEnabled = scale < 1;
    this.context.drawImage(image, (280 - width) / 2, (280 - height) / 2, width, height);
    this.context.imageSmoothingEnabled = true;
  }

  shrink(source) {
    const [width, height] = this.size;
    const small = make("canvas", {width, height});
    const context = small.getContext("2d");
    context.imageSmoothingQuality = "high";
    context.drawImage(source, 0, 0, width, height);
    return small;
  }

  readRows(source) {
    const [width, height] = this.size;
    const {data} = this.shrink(source).getContext("2d").getImageData(0, 0, width, height);
    const grey = (x, y) => {
      const [red, green, blue] = data.subarray(4 * (y * width + x));
      const value = Math.round(0.299 * red + 0.587 * green + 0.114 * blue);
      return this.about.most === 1 ? Number((value / 255).toFixed(3)) : value;
    };
    return Array.from({length: height}, (_, y) => Array.from({length: width}, (_, x) => grey(x, y)));
  }

  // The first picture of a body, as an image; null where it has none.
  thumbnail(body) {
    const value = look(body, this.about.path);
    if (this.about.kind === "rows") return Array.isArray(value) ? this.paintRows(value) : null;
    if (typeof value !== "string") return null;
    const image = make("img", {alt: ""});
    image.src = value.startsWith("data:") ? value : `data:${this.about.media_type};base64,${value}`;
    return image;
  }

  paintRows(rows) {
    const canvas = make("canvas", {width: rows[0].length, height: rows.length});
    const context = canvas.getContext("2d");
    const pixels = context.createImageData(canvas.width, canvas.height);
    rows.flat().forEach((value, index) => {
      const grey = 255 * value / this.about.most;
      pixels.data.set([grey, grey, grey, 255], 4 * index);
    });
    context.putImageData(pixels, 0, 0);
    const image = make("img", {alt: ""});
    image.src = canvas.toDataURL();
    return image;
  }
}
