// Package control is headgate's control database: what the fleet's runs need to know beside the event logs. It holds
// the stores that the inventory names, the clients of the last census, runs and their stores and which no run took, what a
// run needs of the app's directory (its migration and releases, see [DB.Keep] and [DB.PruneArchives]), who approved which
// plan, leases, and the audit.
// There is one implementation for SQLite and Postgres: the same SQL, with two sets of table definitions.
//
// It decides nothing and contacts no store. It caches what the event logs say: whoever loses this database loses
// times and names, never the knowledge of what was committed. It holds no payload and no secret, unless a migration's
// files do: they are what lies in the repository.
//
// # Rules
//
// Every method is one transaction, or reads page by page without one. Times are UTC unix milliseconds in the database
// and come from [Options.Now], so that workers that share a database need clocks that agree within a fraction of a
// lease's time. Everything but an archive belongs to an environment, since a database may serve several. Whatever changes what
// operators see or decided (a census, an inventory, a run, a broken lease) is written to the audit in the transaction
// that changes it. What a worker reports about its store is not.
//
// # Inventory
//
// A store that a [DB.Sync] does not find in the inventory keeps its row, and an active one gets the state hold with a
// note that says since when: an inventory that is broken or short must not make headgate forget what it knows of a
// store, its head above all, and nothing is pushed to a store on hold. It becomes active again when it is back.
// Only an inventory that says so makes a store deleted.
//
// # The states of a store in a run
//
//	          claim             pause               after its batch
//	pending ---------> running -------> pausing --------------------> paused
//	        <---------    |                |                             |
//	         put back     | cancel         | cancel                      | cancel
//	                      v                v                             |
//	                  cancelling <---------'                             |
//	                      | after its batch                              |
//	                      v                                              |
//	                  cancelled <----------------------------------------'
//
//	pending                      ----at once--->  paused, cancelled
//	running, pausing, cancelling -------------->  succeeded, failed, stalled, vanished, quarantined
//	paused, failed, stalled, vanished, quarantined  ----Retry---->  pending
//
// From running to running again is a takeover by another owner, whose fence must be higher than the row's. Succeeded
// and cancelled are never left. Failed, stalled (no progress), vanished (a known store answered head 0) and quarantined (its
// log holds poison) are left by [DB.Retry] only, which someone must ask for, and so is paused, unless it is cancelled.
// Whoever takes the store then looks at it again: it becomes what it was unless that has changed, as for a vanished store
// [DB.Forget] changes it, or a new release for a quarantined one.
//
// [DB.Move] is compare-and-set: of two that move the same row from the same state, one is told that it happened. A
// move that this picture does not have is a mistake of the program, and an error.
//
// A run itself goes pending -> running -> succeeded or failed, with pausing, paused, cancelling and cancelled as above.
//
// # Leases and fences
//
// Who works on a store holds its lease ([StoreLease]). A lease ends by time, and its owner may not notice: it may be
// suspended in the middle of a statement. So each lease that is given away has a fence, a number that is higher than
// any the same name ever had, also after a release and a break. The row of a store's run keeps the fence of its last
// claim, and [DB.Move] and [DB.Report] with a lower one change nothing.
//
// Who can't renew a lease works on until it is over ([DB.Hold]), so that a database which is away for less takes nobody's
// store. For a moment two may hold one all the same: a push under way is not cut off. That is no danger to exactly-once,
// which does not rest on leases: a push is for one place in the store's log, and is refused at any other, and what it holds
// was due in the log just up to there (package migrations). Leases keep two from getting in each other's way.
//
// # Failures
//
// A worker that dies leaves a row in running, pausing or cancelling and a lease that ends; [DB.Orphans] lists such
// rows. After an errs.Internal error it is not known whether the transaction was committed: the connection may have ended
// in the answer, as it does when Postgres is restarted. Calling the method again does no harm. It may then find its own
// first call: a move did not happen, a run is there already, a lease is held; and Record records twice.
//
// # Audit
//
// Each entry's hash covers the entry before it, see [AuditEntry]. Both engines refuse to change or delete an entry;
// [DB.VerifyAudit] finds it when someone took that protection off. Entries cut off at the end leave a shorter chain that
// is whole: only who noted its last hash elsewhere can tell.
package control
