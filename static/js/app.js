// The whole of the console's own script; each part minds one thing and finds its elements by data attributes.
import "./theme.js";
import "./ticking.js";
import "./problems.js";
import "./dialogs.js";
import "./jump.js";
import "./shortcuts.js";
import "./copy.js";
import "./keys.js";
import "./ttl_dialog.js";
