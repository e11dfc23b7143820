package engine_test

import (
	"testing"

	"headgate/internal/livestore/engine"
)

// The namespace is a name itself; the values were made with another implementation (Python's uuid module).
func TestUUID5(t *testing.T) {
	db, err := engine.OpenDB("")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.AddUUID5("hg:demo"); err != nil {
		t.Fatal(err)
	}
	got := map[string]any{}
	for _, sql := range []string{"uuid5('a')", "uuid5('é')", "uuid5(7)", "uuid5('')", "uuid5(NULL)"} {
		if err := db.Query("SELECT "+sql, engine.Binds{}, func(_ []string, v []any) error {
			got[sql] = v[0]
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	for sql, want := range map[string]any{
		"uuid5('a')": "4de6100d-13e0-5312-b095-533af045fe20", "uuid5('é')": "635959bd-897e-5cc2-ab3a-0e8e5668fb9a", "uuid5(7)": "c025b147-4444-5433-b9b4-02f7e2592630", "uuid5('')": "017e6684-3d48-587d-9cd0-ec1a6dcbc018", "uuid5(NULL)": nil,
	} {
		if got[sql] != want {
			t.Errorf("%s = %v, want %v", sql, got[sql], want)
		}
	}
}
