// Package jobs works on the runs of migrations over a fleet of stores: as many processes as there are share them
// through the control database.
//
// The rows of the control database are the truth, and River's queue is a doorbell: a job says "look at this store of
// that run", and whoever takes it reads the row, claims it by compare-and-set under a lease, and does what the row says.
// A job that comes twice, late or for nothing changes nothing. Each process also has a conductor, which looks at every
// run that is active: it starts the next wave when the one before has ended, stops a wave in which too many stores fail,
// rings again for what a crash forgot, and ends the run. Any number of conductors may do so at once.
//
// It does not decide what is committed: that is package migrations, which can be killed anywhere. What a run did is in the
// stores' logs; without this database a new run finds out from them that the work is done.
package jobs
