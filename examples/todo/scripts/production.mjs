// Import this first. LiveStore's development mode runs every materializer twice and shuts the client down when a rebase
// makes one that reads the state (ctx.query) write something else than before; deployed apps run without that.
process.env.NODE_ENV ??= 'production'
