// Reads an AsyncAPI document from standard input with the AsyncAPI parser and prints what it has to say, a line each:
// 0 error, 1 warning, 2 information; then a count of what it found.
const { Parser } = require("@asyncapi/parser");

let text = "";
process.stdin.on("data", (chunk) => (text += chunk));
process.stdin.on("end", async () => {
  const { document, diagnostics } = await new Parser().parse(text);
  for (const { severity, path, message } of diagnostics) console.log(`${severity} ${path.join("/")}: ${message}`);
  if (document) {
    const count = (collection) => collection.all().length;
    console.log(`channels ${count(document.channels())}, messages ${count(document.allMessages())}`);
  }
});
