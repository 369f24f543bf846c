// The style guide's own: buttons that show a toast.

import { toast } from "./shell.js";

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-toast]");
  if (button) toast(button.dataset.toast);
});
