package cli

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// Only a process that is known to be gone is taken for dead: one of this machine, in the same namespace of process ids.
func TestOwnerAlive(t *testing.T) {
	const gone = 1 << 30 // above what Linux gives away
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	own := ownerName("abcd")
	for owner, alive := range map[string]bool{
		own: true,
		strings.Replace(own, fmt.Sprintf("/%d/", os.Getpid()), fmt.Sprintf("/%d/", gone), 1): false,
		fmt.Sprintf("%s.00000000/%d/abcd", host, gone):                                       true, // a container of the same name
		fmt.Sprintf("another/%d/abcd", gone):                                                 true,
		"odd":                                                                                true,
	} {
		if got := ownerAlive(owner); got != alive {
			t.Errorf("%s: alive %v, want %v", owner, got, alive)
		}
	}
}
