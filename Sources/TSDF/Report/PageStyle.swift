/// What the templates of all pages begin with: colours for light and dark screens, type, the width of lines.
/// - Parameters:
///   - title: the page's.
///   - style: the page's own rules, in CSS.
func pageHead(title: String, style: String) -> String {
  """
  <!doctype html>
  <html lang="en">
  <head>
  <meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
  <title>\(title)</title>
  <style>
  :root { color-scheme: light dark; --ink: #1c1c1e; --paper: #ffffff; --soft: #6b6b70; --line: #d9d9de; }
  @media (prefers-color-scheme: dark) { :root { --ink: #ececf0; --paper: #17171a; --soft: #a0a0a8; --line: #3a3a40; } }
  body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
  h1 { font-size: 1.7rem; margin-bottom: .2rem; } p, li { max-width: 46rem; } .soft { color: var(--soft); }
  figcaption { font-size: .85rem; } summary { cursor: pointer; }
  \(style)
  </style>
  </head>

  """
}
