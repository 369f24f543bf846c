// The analyst: examples fill the box and ask, Enter asks.

const form = document.getElementById("analyst-form");
const box = document.getElementById("question");

function ask() {
  if (box.value.trim()) form.requestSubmit();
}

document.addEventListener("click", (event) => {
  const example = event.target.closest("[data-example]");
  if (example) {
    box.value = example.dataset.example;
    ask();
  }
});

box?.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    ask();
  }
});

document.addEventListener("htmx:after:swap", settle);
document.addEventListener("htmx:afterSwap", settle);

function settle() {
  const answered = document.querySelector("#answers .finding");
  if (!answered) return;
  document.getElementById("analyst-examples")?.remove();
}

form?.addEventListener("htmx:after:request", clear);
form?.addEventListener("htmx:afterRequest", clear);

function clear(event) {
  if (event.target === form) box.value = "";
}
