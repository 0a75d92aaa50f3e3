// The console's own script. Each part minds one thing and finds its elements by data attributes.
import "./theme.js";
import "./time.js";
import "./toast.js";
import "./problems.js";
import "./busy.js";
import "./dialog.js";
import "./confirm.js";
import "./menus.js";
import "./jump.js";
import "./shortcuts.js";
import "./copy.js";
import "./json.js";
import "./keys.js";
import "./selection.js";
import "./watch.js";
import "./ttl_dialog.js";
import "./edit.js";
