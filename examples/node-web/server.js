const http = require("http");
const ms = require("ms");

const port = process.env.PORT || 3000;

const server = http.createServer((request, response) => {
  response.setHeader("Content-Type", "text/plain");
  response.end(`Hello from Node.js, up for ${ms(Math.round(process.uptime() * 1000))}\n`);
});

server.listen(port, () => console.log(`listening on port ${port}`));

// The first process of a container gets no signal that it does not ask for.
process.on("SIGTERM", () => server.close(() => process.exit(0)));
