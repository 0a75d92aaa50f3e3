/** uPlot and its style sheet: `import(url).then(({ uPlot }) => new uPlot(options, data, element))`. */
import "uplot/dist/uPlot.min.css";
export { default, default as uPlot } from "uplot";
