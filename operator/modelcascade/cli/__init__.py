"""The verbs of modelcascade and kubectl cascade, one file each."""
