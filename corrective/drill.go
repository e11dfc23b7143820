package corrective

import (
	"bytes"
	"errors"
	"io"
	"time"

	"go.yaml.in/yaml/v3"

	"headgate/internal/errs"
)

// DrillLasts is how long a rehearsal counts.
const DrillLasts = 365 * 24 * time.Hour

// A Drill is a rehearsal of a rollback on copies: a file below headgate/incidents/drills.
type Drill struct {
	Version     int         `yaml:"version" json:"version"`
	Environment string      `yaml:"environment" json:"environment"` // whose logs were copied
	Schema      string      `yaml:"schema" json:"schema"`
	Stores      []string    `yaml:"stores" json:"stores"`
	Event       string      `yaml:"event" json:"event"`   // that was taken for bad
	Events      int         `yaml:"events" json:"events"` // so many of it
	By          string      `yaml:"by" json:"by"`
	At          time.Time   `yaml:"at" json:"at"`
	Passed      bool        `yaml:"passed" json:"passed"`
	Steps       []DrillStep `yaml:"steps" json:"steps"`
}

// A DrillStep is one step of a rehearsal.
type DrillStep struct {
	Step    string `yaml:"step" json:"step"`
	Seconds int    `yaml:"seconds" json:"seconds"`
	Note    string `yaml:"note,omitempty" json:"note,omitempty"`
}

// YAML is the file.
func (d Drill) YAML() ([]byte, error) {
	var b bytes.Buffer
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	err := errors.Join(enc.Encode(d), enc.Close())
	return b.Bytes(), err
}

// ParseDrill reads a drill's file strictly.
func ParseDrill(file string, data []byte) (Drill, error) {
	var d Drill
	dec := yaml.NewDecoder(bytes.NewReader(data))
	dec.KnownFields(true)
	if err := dec.Decode(&d); err != nil && !errors.Is(err, io.EOF) || d.Version != IncidentVersion {
		return d, errs.Invalidf("the drill can't be read").At("%s", file).Because(err).
			Hintf("headgate writes it: take it from the version before, or remove it and rehearse again").Then("headgate rollback drill")
	}
	return d, nil
}
