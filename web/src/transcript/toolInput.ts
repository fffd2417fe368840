// The fields of tools' inputs that say most about a call, the best ones first.
const mainFields = [
  ...['command', 'file_path', 'notebook_path', 'pattern', 'path', 'url', 'query', 'description'],
  ...['subject', 'skill', 'prompt', 'name', 'id'],
]
const maxSummary = 200

/** Returns the main input of a tool call in one line; empty if there is none. */
export function summaryOf(input: unknown): string {
  const fields = fieldsOf(input)
  const texts = fields.filter(({ value }) => typeof value === 'string')
  const main = mainFields.map((name) => texts.find((field) => field.name === name)).find(Boolean) ?? texts[0]
  const lines = textOf(main?.value ?? '').trim()
  const [line = ''] = lines.split('\n', 1)
  return line.length < lines.length || line.length > maxSummary ? `${line.slice(0, maxSummary)} …` : line
}

/** Returns the fields of a tool call's input. An input that is no object is one field without a name. */
export function fieldsOf(input: unknown): { name: string; value: unknown }[] {
  if (input === undefined || input === null) {
    return []
  }
  return typeof input === 'object' && !Array.isArray(input)
    ? Object.entries(input).map(([name, value]: [string, unknown]) => ({ name, value }))
    : [{ name: '', value: input }]
}

/** Returns a value as text: a string as it is, anything else as JSON. */
export function textOf(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value, null, 2)
}
