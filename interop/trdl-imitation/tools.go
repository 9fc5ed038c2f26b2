//go:build tools

// Keeps go-tuf's own command among the requirements: the suite makes a repository with it.
package main

import _ "github.com/theupdateframework/go-tuf/cmd/tuf"
