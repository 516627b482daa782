const slider = document.getElementById("time");
const marks = document.querySelectorAll("#chart circle");
function show(look) {
  const { date, price, tokens } = data[look];
  slider.value = look;
  document.getElementById("caption").textContent = `${date} · S&P 500 at ${price}`;
  for (const figure of document.querySelectorAll(".wall figure")) {
    const shown = tokens[figure.dataset.token];
    figure.classList.toggle("minted", Boolean(shown));
    if (shown) figure.querySelector("img").src = shown.file;
    figure.querySelector("figcaption").textContent = shown ? `No. ${figure.dataset.token} · ${shown.caption}` : "";
  }
  for (const mark of marks) mark.classList.toggle("shown", Number(mark.dataset.look) === Number(look));
}
slider.addEventListener("input", () => show(slider.value));
for (const mark of marks) mark.addEventListener("click", () => show(mark.dataset.look));
show(data.length - 1);
