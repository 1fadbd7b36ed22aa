// The page is complete without this: it shows every path's profit where the pointer rests on a chart of them.
(() => {
  const { names, rows } = JSON.parse(document.getElementById("profits").textContent);
  const percent = (value) => `${value < 0 ? "\u2212" : "+"}${Math.abs(value * 100).toFixed(1)} %`;
  const nearest = (at) => {
    let low = 0;
    let high = rows.length - 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (rows[middle][0] < at) low = middle + 1; else high = middle;
    }
    return rows[low];
  };
  const follow = (chart) => {
    const [x0, x1, y0, y1, t0, t1] = ["x0", "x1", "y0", "y1", "t0", "t1"].map((name) => Number(chart.dataset[name]));
    const box = document.createElement("div");
    box.className = "pointer";
    box.hidden = true;
    chart.parentElement.append(box);
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
      const [time, ...profits] = nearest(at);
      const x = x0 + ((time - t0) / (t1 - t0)) * (x1 - x0);
      line.setAttribute("x1", x);
      line.setAttribute("x2", x);
      line.style.display = "";
      box.replaceChildren(...[
        `${new Date(time).toISOString().slice(0, 10)}`,
        ...names.map((name, number) => `${name} ${percent(profits[number])}`),
      ].map((text) => Object.assign(document.createElement("span"), { textContent: text })));
      box.hidden = false;
      const place = x / scale;
      box.style.left = `${place + (place > frame.width / 2 ? -box.offsetWidth - 12 : 12)}px`;
      box.style.top = `${(y0 + 8) / scale}px`;
    });
  };
  if (rows.length) document.querySelectorAll("#equity svg.chart[data-t0]").forEach(follow);
})();
