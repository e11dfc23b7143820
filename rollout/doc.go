// Package rollout says which version of an event a store's clients emit. There are two ways to say it, and one model of
// what is said: a string flag per event family ([Flag]). The first is a file that people edit, headgate/flags.yaml:
//
//	flags:
//	  event.TodoCreated:
//	    variants:                  # oldest first
//	      v1: v1.TodoCreated       # the default, and what is left of the stores
//	      v2: {event: v2.TodoCreated, floor: 1.5.0, percent: 25, stores: [demo]}
//
// The file is parsed strictly ([Parse]), held against the recorded releases ([Lint]), evaluated in process as an
// OpenFeature provider ([Provider]), and exported as a flagd file ([File.Flagd]) that any flagd evaluator reads the same
// way, and a Provider in another process ([ParseFlagd]). Evaluation and export come from the same rules (rule.go):
//
//	may the build emit v3, by its floor?  and the store is known -> listed store, else bucket: v3 | v2 | v1
//	may the build emit v2?                and the store is known -> the same with v2 in v3's place
//	otherwise                                                    -> the default
//
// A store has one place in a flag, its bucket, which is a hash of the flag's key and the store's id. The newest variant
// takes the lowest buckets, so raising a percentage only ever adds stores to a variant or takes them from older ones.
// Whatever can't be known, a store's id or a build's version, ends at the default: the version that everyone reads.
//
// # Rollouts
//
// The second is a rollout, headgate/rollouts/NAME.yaml ([Definition]): steps that open by themselves, each store only
// when its readers are there ([Gate]), while it goes well ([Template]). During the ramp its flags list the stores that are
// open, the eligible ones whose places are in the step's share; a store that nobody watches is in no list. [Decide] is
// what the controller's tick does, [Act] what a person's command does; both are pure.
//
//	          start             a reader is seen       approved, a store       baked, and its      the last one
//	Draft --------> ReadersShipping ------> ReaderGate ------> Ramp[0] ------> Ramp[1] … ------> PointOfNoReturn
//	  (person)                     (tick)    (tick, promote)      (tick, promote)    (tick, promote)      |
//	                                                                                                     | promote --full:
//	                                                                                                     | approved, all
//	Retired <-------- Drained <------------- Draining <------------------- Full <------------------------' eligible
//	        promote           no old event             no client is left        (person)
//	       (person)           for a horizon  (tick)    that can only emit the old (tick)
//
//	ReadersShipping, ReaderGate, Ramp, PointOfNoReturn   ----abort---->  Aborted    (person; a failed analysis that aborts)
//	Full, Draining, Drained                              ----undo----->  Undone     (person, with a reason)
//	Aborted, Undone                                      ----start---->  ReadersShipping, with the same places as before
//	ReadersShipping, ReaderGate, Ramp, PointOfNoReturn   ----pause---->  the same, standing still   (person, analysis)
//	paused                                               ----resume--->  the same phase or step from its beginning
//
// Somebody may have to confirm ([Confirm]) that the first step opens, that a step is left, and that all stores open: who the
// rollout names, or for a step, and what comes after the last one, who that step does.
//
// What a person asks for too early is errs.Stale, exit status 4 and HTTP 409: an approval is missing, the analysis has
// not succeeded, a freeze or a stop holds, a store's readers are not there. Forced with a reason it goes through, but for
// the first step, which opens no store that is not eligible. Approvals come from others than the one who started. What the
// phase does not have is errs.Invalid. Aborts and undos wait for nothing.
//
// A step opens the eligible stores of its share at once, and the others of its share as they become eligible. A store that
// is open stays open when an old client comes back: its log has the new events already. [Publish] proves before each
// publication that no store loses the new version ([Widens]).
//
// # Limits
//
// The package reads no log and no database and has no clock, but that by which a [Provider] reads its flags again where it is
// asked to. It serves nothing over a network.
package rollout
