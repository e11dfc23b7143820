package cflog_test

import "bytes"

// isExit reports whether data, which comes from the backend and so is not masked, ends a call.
func isExit(data []byte) bool { return bytes.Contains(data, []byte(`"_tag":"Exit"`)) }
