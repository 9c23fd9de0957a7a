"use strict";

(() => {
  const root = document.documentElement;
  root.classList.add("js");
  const figures = JSON.parse(document.getElementById("charts").textContent);
  const drawn = new Map();
  const digits = new Intl.NumberFormat("en", { maximumFractionDigits: 4 });
  const short = new Intl.NumberFormat("en", { maximumSignificantDigits: 6 });
  const compact = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });

  const spaced = (text) => text.replaceAll(",", "\u202f");
  const colour = (name) => getComputedStyle(root).getPropertyValue(`--${name}`).trim();

  function tick(value) {
    return Math.abs(value) >= 1e6 ? compact.format(value) : spaced(short.format(value));
  }

  function shortened(label, most) {
    const characters = [...String(label)];
    return characters.length > most ? `${characters.slice(0, most - 1).join("")}…` : label;
  }

  function series(each, place, view, line) {
    const planned = view.series.length > 1 && place === 0;
    const paint = colour(planned ? "planned" : "accent");
    const common = { label: each.name, data: each.values, borderColor: paint };
    if (line) {
      return {
        ...common,
        backgroundColor: paint,
        borderWidth: 2,
        borderJoinStyle: "round",
        borderDash: planned ? [5, 4] : [],
        pointRadius: each.values.length > 40 ? 1.5 : 2.5,
        pointHoverRadius: 5,
        pointStyle: planned ? "rectRot" : "circle",
        tension: 0,
      };
    }
    // What was planned is an outline, so that colour alone need not tell it.
    return {
      ...common,
      backgroundColor: planned ? "transparent" : paint,
      borderWidth: planned ? 1.5 : 0,
      borderRadius: 2,
      maxBarThickness: 28,
    };
  }

  function configuration(figure, view, width) {
    const line = figure.overTime && view.line;
    const ink = colour("ink");
    const muted = colour("muted");
    const title = (text) => ({ display: true, text, color: muted, font: { size: 12 } });
    const categories = {
      offset: true,
      grid: { display: false },
      border: { color: colour("line") },
      title: title(figure.axis),
      ticks: {
        color: ink,
        autoSkip: figure.overTime,
        autoSkipPadding: 20,
        maxRotation: 0,
        callback(value) {
          return shortened(this.getLabelForValue(value), Math.min(32, Math.round(width / 20)));
        },
      },
    };
    const whole = view.series.every((each) => each.values.every((value) => Number.isInteger(value ?? 0)));
    const values = {
      beginAtZero: !line || view.series.length > 1,
      grid: { color: colour("line") },
      border: { display: false },
      title: title(view.axis),
      ticks: {
        color: muted,
        callback: tick,
        maxTicksLimit: width < 480 && !figure.overTime ? 4 : 7,
        maxRotation: 0,
        ...(whole ? { precision: 0 } : {}),
      },
    };
    return {
      type: line ? "line" : "bar",
      data: {
        labels: view.labels,
        datasets: view.series.map((each, place) => series(each, place, view, line)),
      },
      options: {
        animation: false,
        maintainAspectRatio: false,
        indexAxis: figure.overTime ? "x" : "y",
        interaction: { mode: "index", axis: figure.overTime ? "x" : "y", intersect: false },
        scales: figure.overTime ? { x: categories, y: values } : { x: values, y: categories },
        plugins: {
          legend: {
            display: view.series.length > 1,
            align: "start",
            labels: { color: ink, boxWidth: 18, boxHeight: 8, usePointStyle: line },
          },
          tooltip: {
            displayColors: view.series.length > 1,
            callbacks: {
              title: (items) => items.map((item) => shortened(item.label, 60)).slice(0, 1),
              label(item) {
                const value = item.raw === null ? "–" : spaced(digits.format(item.raw));
                return `${item.dataset.label}: ${value}`;
              },
            },
          },
        },
      },
    };
  }

  function draw(canvas) {
    const figure = figures[canvas.dataset.figure];
    const choice = document.querySelector(`select[data-figure="${canvas.dataset.figure}"]`);
    const view = figure.views[choice ? choice.value : 0];
    if (!figure.overTime) {
      const bars = view.labels.length * view.series.length;
      canvas.parentElement.style.height = `${Math.max(150, 90 + 18 * view.labels.length + 6 * bars)}px`;
    }
    drawn.get(canvas)?.destroy();
    drawn.set(canvas, new Chart(canvas, configuration(figure, view, canvas.parentElement.clientWidth)));
  }

  function drawAll() {
    Chart.defaults.font.family = getComputedStyle(document.body).fontFamily;
    document.querySelectorAll("canvas[data-figure]").forEach(draw);
  }

  function filter(form) {
    const rows = [...document.querySelectorAll("#all-problems tbody tr")];
    const { severity, code, text } = Object.fromEntries(new FormData(form));
    const wanted = text.trim().toLowerCase();
    let shown = 0;
    for (const row of rows) {
      row.hidden =
        (severity && row.cells[0].textContent !== severity) ||
        (code && row.cells[1].textContent !== code) ||
        (wanted && !row.textContent.toLowerCase().includes(wanted));
      shown += row.hidden ? 0 : 1;
    }
    document.getElementById("shown").textContent = `${shown} of ${rows.length} shown`;
  }

  drawAll();
  document.querySelectorAll("select[data-figure]").forEach((choice) => {
    choice.addEventListener("change", () =>
      draw(document.querySelector(`canvas[data-figure="${choice.dataset.figure}"]`)),
    );
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
  addEventListener("beforeprint", () => {
    root.dataset.printing = "";
    drawAll();
  });
  addEventListener("afterprint", () => {
    delete root.dataset.printing;
    drawAll();
  });
  const filters = document.querySelector(".filters");
  if (filters) {
    filters.addEventListener("input", () => filter(filters));
    filters.addEventListener("submit", (event) => event.preventDefault());
    filter(filters);
  }
})();
