// The ask page takes dropped files: they are added to the chosen collection, and can be asked about as soon as they are read.

import { takeFiles } from "./uploads.js";

takeFiles(document.getElementById("ask-uploads"));
