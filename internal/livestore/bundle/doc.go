// Package bundle turns an app's TypeScript into one script that the sandbox can evaluate, and that script into a
// recorded release. esbuild resolves the app's modules with its own node_modules and tsconfig; nothing of Node runs.
// The package does not compare releases and does not decide what a release means.
//
//	Build    TypeScript -> Script (code + source map of the app's own files)
//	Describe Script -> schema.Release, by evaluating it in the sandbox
//	Module   one module that stands for itself (a migration) -> Script
//	Dir      headgate/releases/<schema>: <version>.json, bundles by content, headgate.sum
package bundle
