/// The version of this tool, recorded in every artefact.
public let tsdfVersion = "0.1.0"
