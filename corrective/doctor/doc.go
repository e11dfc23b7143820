// Package doctor looks for what is wrong with stores and their clients now, whichever release did it, and says of each
// thing what repairs it. An [Examiner] looks at one [Patient] at a time:
//
//	a log, of a backend or a client     its numbering; events that releases which are alive don't decode, or whose
//	                                    materializers throw
//	what a client keeps beside its log  a state that ends before the log does or holds other rows than the log makes, in
//	                                    use or left behind; a head beyond the log
//	a client and its backend            another backend than before, one that was restored, logs that part
//	clients among themselves            states that differ at one head
//
// It repairs nothing and opens no file of an app: it gets readers, and private copies of state files. What the control
// database and the app's own code say is the caller's part.
package doctor
