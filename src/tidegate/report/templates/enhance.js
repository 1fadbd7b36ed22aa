"use strict";
// The page is complete without this: it adds a pointer to the equity chart and sorting to tables.
(() => {
  const sortable = (table) => {
    const body = table.tBodies[0];
    if (body.rows.length < 3) return;
    [...table.tHead.rows[0].cells].forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.title = "Sort";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const ascending = head.getAttribute("aria-sort") !== "ascending";
        [...table.tHead.rows[0].cells].forEach((cell) => cell.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", ascending ? "ascending" : "descending");
        const key = (row) => row.cells[column].dataset.sort ?? row.cells[column].textContent.trim();
        const order = (a, b) => {
          const [x, y] = [Number(a), Number(b)];
          if (Number.isNaN(x) && Number.isNaN(y)) return a.localeCompare(b);
          return Number.isNaN(x) ? 1 : Number.isNaN(y) ? -1 : x - y;
        };
        [...body.rows].sort((a, b) => order(key(a), key(b)) * (ascending ? 1 : -1)).forEach((row) => body.append(row));
      });
    });
  };

  // A page without an equity chart of its own has nothing for the pointer to show.
  const { rows, currency } = JSON.parse(document.getElementById("pointer")?.textContent ?? '{"rows": []}');
  const money = new Intl.NumberFormat("en", { minimumFractionDigits: 2, maximumFractionDigits: 2 });
  const pointer = (chart) => {
    const [x0, x1, y0, y1, t0, t1] = ["x0", "x1", "y0", "y1", "t0", "t1"].map((name) => Number(chart.dataset[name]));
    const drawing = chart.parentElement;
    const box = document.createElement("div");
    box.className = "pointer";
    box.hidden = true;
    drawing.append(box);
    const line = document.createElementNS("http://www.w3.org/2000/svg", "line");
    line.setAttribute("class", "cross");
    line.setAttribute("y1", y0);
    line.setAttribute("y2", y1);
    line.style.display = "none";
    chart.append(line);
    const hide = () => { box.hidden = true; line.style.display = "none"; };
    chart.addEventListener("pointerleave", hide);
    chart.addEventListener("pointermove", (event) => {
      const frame = chart.getBoundingClientRect();
      const scale = chart.viewBox.baseVal.width / frame.width;
      const at = t0 + (((event.clientX - frame.left) * scale - x0) / (x1 - x0)) * (t1 - t0);
      if (at < t0 || at > t1) { hide(); return; }
      let low = 0;
      let high = rows.length - 1;
      while (low < high) {
        const middle = (low + high) >> 1;
        if (rows[middle][0] < at) low = middle + 1; else high = middle;
      }
      const [time, equity, held, fall] = rows[low];
      const x = x0 + ((time - t0) / (t1 - t0)) * (x1 - x0);
      line.setAttribute("x1", x);
      line.setAttribute("x2", x);
      line.style.display = "";
      box.replaceChildren(...[
        `${new Date(time).toISOString().slice(0, 16).replace("T", " ")} UTC`,
        `Strategy ${money.format(equity)} ${currency}`,
        `Buy and hold ${money.format(held)} ${currency}`,
        `Drawdown \u2212${(fall * 100).toFixed(2)} %`,
      ].map((text) => Object.assign(document.createElement("span"), { textContent: text })));
      box.hidden = false;
      const place = x / scale;
      box.style.left = `${place + (place > frame.width / 2 ? -box.offsetWidth - 12 : 12)}px`;
      box.style.top = `${(y0 + 8) / scale}px`;
    });
  };

  document.querySelectorAll("table.sortable").forEach(sortable);
  if (rows.length) document.querySelectorAll("#equity svg.chart[data-t0]").forEach(pointer);
})();
