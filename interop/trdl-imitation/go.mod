module trdl-imitation

go 1.21

require (
	github.com/Masterminds/semver/v3 v3.2.1
	github.com/theupdateframework/go-tuf v0.5.2
)

require (
	github.com/golang/snappy v0.0.4 // indirect
	github.com/secure-systems-lab/go-securesystemslib v0.4.0 // indirect
	github.com/syndtr/goleveldb v1.0.1-0.20220721030215-126854af5e6d // indirect
)

// The fork that the real trdl client is built with; its client half is go-tuf v0.5.2 unchanged.
replace github.com/theupdateframework/go-tuf => github.com/werf/3p-go-tuf v0.0.0-20230315082915-5fc159235553
