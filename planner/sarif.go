package planner

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
)

// The types below are the part of SARIF 2.1.0 (OASIS, errata 01) that a report needs.

type sarifLog struct {
	Schema  string     `json:"$schema"`
	Version string     `json:"version"`
	Runs    []sarifRun `json:"runs"`
}

const sarifSchema = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"

type sarifRun struct {
	// Automation tells the runs of several schemas apart.
	Automation sarifAutomation `json:"automationDetails"`
	Tool       sarifTool       `json:"tool"`
	ColumnKind string          `json:"columnKind"`
	Results    []sarifResult   `json:"results"`
}

type sarifAutomation struct {
	ID string `json:"id"`
}

type sarifTool struct {
	Driver sarifDriver `json:"driver"`
}

type sarifDriver struct {
	Name            string      `json:"name"`
	SemanticVersion string      `json:"semanticVersion,omitempty"`
	Rules           []sarifRule `json:"rules"`
}

type sarifRule struct {
	ID               string       `json:"id"`
	Name             string       `json:"name"`
	ShortDescription sarifText    `json:"shortDescription"`
	FullDescription  sarifText    `json:"fullDescription"`
	Help             sarifText    `json:"help"`
	Default          sarifDefault `json:"defaultConfiguration"`
}

type sarifDefault struct {
	Level string `json:"level"`
}

type sarifText struct {
	Text string `json:"text"`
}

type sarifResult struct {
	RuleID              string             `json:"ruleId"`
	RuleIndex           int                `json:"ruleIndex"`
	Level               string             `json:"level"`
	Message             sarifText          `json:"message"`
	Locations           []sarifLocation    `json:"locations,omitempty"`
	PartialFingerprints map[string]string  `json:"partialFingerprints"`
	Suppressions        []sarifSuppression `json:"suppressions,omitempty"`
	Properties          map[string]string  `json:"properties"`
}

type sarifLocation struct {
	Physical *sarifPhysical `json:"physicalLocation,omitempty"`
	Logical  []sarifLogical `json:"logicalLocations,omitempty"`
}

type sarifPhysical struct {
	Artifact sarifArtifact `json:"artifactLocation"`
	Region   *sarifRegion  `json:"region,omitempty"`
}

type sarifArtifact struct {
	URI       string `json:"uri"`
	URIBaseID string `json:"uriBaseId,omitempty"`
}

type sarifRegion struct {
	StartLine int `json:"startLine"`
}

type sarifLogical struct {
	FullyQualifiedName string `json:"fullyQualifiedName"`
}

type sarifSuppression struct {
	Kind          string `json:"kind"`
	Justification string `json:"justification"`
}

func (r Report) sarif(version string) sarifRun {
	run := sarifRun{Automation: sarifAutomation{"headgate/" + r.Schema + "/"}, ColumnKind: "utf16CodeUnits", Results: []sarifResult{}, Tool: sarifTool{sarifDriver{Name: "headgate", Rules: []sarifRule{}}}}
	if strings.Count(version, ".") >= 2 {
		run.Tool.Driver.SemanticVersion = strings.TrimPrefix(version, "v")
	}
	index := map[Code]int{}
	for _, rule := range Rules() {
		if !slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.Code == rule.Code }) {
			continue
		}
		index[rule.Code] = len(run.Tool.Driver.Rules)
		worst := rule.Replay
		if !worst.AtLeast(rule.Fleet) {
			worst = rule.Fleet
		}
		run.Tool.Driver.Rules = append(run.Tool.Driver.Rules, sarifRule{
			ID: string(rule.Code), Name: string(rule.Code), ShortDescription: sarifText{rule.Title}, FullDescription: sarifText{rule.Breaks},
			Help: sarifText{rule.Fix + " Example: " + rule.Example}, Default: sarifDefault{sarifLevel(worst)},
		})
	}
	for _, f := range r.Findings {
		res := sarifResult{
			RuleID: string(f.Code), RuleIndex: index[f.Code], Level: sarifLevel(f.Severity),
			Message:             sarifText{strings.TrimSpace(f.Message + ". " + f.Detail)},
			PartialFingerprints: map[string]string{"headgate/v1": fingerprint(r.Schema, f)},
			Properties:          map[string]string{"direction": string(f.Direction), "to": f.To, "from": strings.Join(f.From, ", "), "schema": r.Schema},
		}
		var at sarifLocation
		if f.Location != nil {
			at.Physical = &sarifPhysical{Artifact: sarifArtifact{URI: uri(f.Location.File), URIBaseID: "%SRCROOT%"}}
			if f.Location.Line > 0 {
				at.Physical.Region = &sarifRegion{f.Location.Line}
			}
		}
		if p := f.Place(); p != "" {
			at.Logical = []sarifLogical{{p}}
		}
		if at.Physical != nil || at.Logical != nil {
			res.Locations = []sarifLocation{at}
		}
		if f.Suppressed != nil {
			res.Suppressions = []sarifSuppression{{Kind: "external", Justification: f.Suppressed.Owner + ": " + f.Suppressed.Reason}}
		}
		run.Results = append(run.Results, res)
	}
	return run
}

func sarifLevel(s Severity) string {
	switch s {
	case Error, Warning:
		return string(s)
	case Info:
		return "note"
	}
	return "none"
}

// fingerprint stays the same from run to run and release to release, so that a viewer can tell a new finding.
func fingerprint(schemaName string, f Finding) string {
	sum := sha256.Sum256([]byte(strings.Join([]string{schemaName, string(f.Code), string(f.Direction), f.Event, f.Table, f.Path}, "\x00")))
	return hex.EncodeToString(sum[:8])
}

// uri escapes a path that is relative to the repository.
func uri(path string) string {
	var b strings.Builder
	for _, c := range []byte(path) {
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-._~/@", c) >= 0 {
			b.WriteByte(c)
			continue
		}
		b.WriteString("%" + strings.ToUpper(hex.EncodeToString([]byte{c})))
	}
	return b.String()
}
