// The modules of a QR code, and how a page draws them.

const MARGIN = 4;
const SVG = 'http://www.w3.org/2000/svg';

export class Qr {
  #modules;

  constructor({ size, modules }) {
    this.size = size;
    this.#modules = modules;
  }

  isDark(x, y) {
    return x >= 0 && y >= 0 && x < this.size && y < this.size && this.#modules[y * this.size + x] === 1;
  }

  svg(document) {
    const path = document.createElementNS(SVG, 'path');
    path.setAttribute('d', [...this.#rows()].join(''));
    path.setAttribute('fill', 'currentColor');
    const svg = document.createElementNS(SVG, 'svg');
    const side = this.size + 2 * MARGIN;
    svg.setAttribute('viewBox', `${-MARGIN} ${-MARGIN} ${side} ${side}`);
    svg.setAttribute('shape-rendering', 'crispEdges');
    svg.append(path);
    return svg;
  }

  // The runs of dark modules, as parts of a path.
  * #rows() {
    for (let y = 0; y < this.size; y += 1) {
      for (let x = 0; x < this.size; x += 1) {
        const from = x;
        while (this.isDark(x, y)) x += 1;
        if (x > from) yield `M${from} ${y}h${x - from}v1h${from - x}z`;
      }
    }
  }
}
