// Package server is headgate over HTTP: flags by OFREP for the app, and under /v1 what the command line does with an
// environment, for people and pipelines.
//
// Every route is a value in [routes], with what it takes, what it gives and who may call it. From that list come the
// router, the OpenAPI document and the test that calls each of them without a right to.
//
// # Who may do what
//
//	          reads   brings a census   moves things   approves   asks for flags   sends telemetry   reports who syncs
//	viewer      x                                                      x
//	ci          x            x                                         x
//	operator    x            x               x                         x
//	approver    x            x               x            x            x
//	worker                                                                                                x          and asks for the floor
//	client                                                             x                x                             of its app, for its stores
//
// Things are rollouts, runs of migrations, the floor and the stop. To go on in spite of what is not ready takes who may
// approve; to bring a census that speaks for the sync backend, who may move things.
//
// A token is a person's. That person acts in the audit and is counted where approvals are, however many tokens they have.
// It is looked up by its hash and remembered for five seconds. Who presents none that is valid is told to wait after a
// while; a valid one is let in whatever others behind the same address do, so tokens that are not in memory are looked up a
// few at a time. The stream of flag changes has no headers: its address carries a ticket, which is an expiry and a MAC keyed
// with the token's hash, so that all servers on one control database accept it and none has to keep it. It opens nothing
// else.
//
// # Twice the same
//
// A POST with an Idempotency-Key is done once: the answer is kept for a day, in the control database, up to two hundred of a
// token. What failed is not kept, and may be asked again.
//
// # Which server moves the rollouts
//
// The one that holds the lease [operate.ControllerLease], on SQLite and Postgres alike. It is no periodic job of River's, which
// runs the migrations: River elects every 5 s for 15 s, and neither can be set. Measured on one Postgres with the leader killed
// by SIGKILL, the next job of River came after 14 to 19 s, and the lead by lease moves after 4.5 to 6 s. A job of a worker that
// was killed stays running until River takes it for stuck, an hour by our setting: were the tick unique, nothing would move
// for so long, and were it not, ticks would overlap, on any servers. A slow tick holds its lease and no other begins; one that
// lost it is told to end. Against two that both think they lead neither helps: each transition is compare-and-set on the
// rollout's row, in one transaction with its line of the audit.
//
// # What it does not do
//
// It knows no HTML: the pages at / are package dashboard's, and it lets people in to them for an hour, by a cookie that is
// sealed as a ticket is. It trusts no header that names another address: behind a proxy all callers share its limits.
package server
