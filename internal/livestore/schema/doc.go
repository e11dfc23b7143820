// Package schema is headgate's model of a release: what the app's own TypeScript said about its events, tables,
// materializers and queries when `headgate release add` evaluated it. The model is plain data with a canonical
// JSON form that is made to be reviewed in a pull request. The package computes nothing from source code, runs
// nothing and reads no files; package bundle produces a Release, package planner compares two.
package schema
