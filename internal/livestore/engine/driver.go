package engine

import _ "embed"

// Driver is the JavaScript that is bundled with an app's schema. It imports headgate:… modules, which package
// bundle resolves.
//
//go:embed driver.js
var Driver string

// Before is the module headgate:before, evaluated ahead of the app's.
//
//go:embed before.js
var Before string

// Lower is the module headgate:lower, which the driver imports.
//
//go:embed lower.js
var Lower string

// Codec is the module headgate:codec, which the driver and Lower import.
//
//go:embed codec.js
var Codec string
