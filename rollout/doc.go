// Package rollout says which version of an event a store's clients emit. Its first form is a file, headgate/flags.yaml,
// with one string flag per event family:
//
//	flags:
//	  event.TodoCreated:
//	    variants:                  # oldest first
//	      v1: v1.TodoCreated       # the default, and what is left of the stores
//	      v2: {event: v2.TodoCreated, floor: 1.5.0, percent: 25, stores: [demo]}
//
// The file is parsed strictly ([Parse]), held against the recorded releases ([Lint]), evaluated in process as an
// OpenFeature provider ([Provider]), and exported as a flagd file ([File.Flagd]) that any flagd evaluator reads the same
// way. Evaluation and export come from the same rules (rule.go):
//
//	may the build emit v3, by its floor?  and the store is known -> listed store, else bucket: v3 | v2 | v1
//	may the build emit v2?                and the store is known -> the same with v2 in v3's place
//	otherwise                                                    -> the default
//
// A store has one place in a flag, its bucket, which is a hash of the flag's key and the store's id. The newest variant
// takes the lowest buckets, so raising a percentage only ever adds stores to a variant or takes them from older ones.
// Whatever can't be known, a store's id or a build's version, ends at the default: the version that everyone reads.
//
// It does not know which clients read a store, and so does not decide when a percentage may rise. It does not watch the
// file, and it serves nothing over a network.
package rollout
