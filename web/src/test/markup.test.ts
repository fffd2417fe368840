import { ESLint } from 'eslint'
import { describe, expect, test } from 'vitest'

// The rules that keep a model's text from becoming markup guard nothing unless they fire.
// They need no types, which take long to find out.
const eslint = new ESLint({
  ruleFilter: ({ ruleId }) => ruleId === 'no-restricted-syntax',
  overrideConfig: { languageOptions: { parserOptions: { projectService: false, project: null } } },
})

async function complaints(code: string): Promise<string[]> {
  const [result] = await eslint.lintText(code, { filePath: 'src/main.tsx' })
  return (result?.messages ?? []).map(({ message }) => message)
}

describe('the linter refuses', { timeout: 300_000 }, () => {
  test.each([
    '<p dangerouslySetInnerHTML={{ __html: text }} />',
    'h("p", { dangerouslySetInnerHTML: { __html: text } })',
    'element.innerHTML = text',
    'element.outerHTML = text',
    'element.insertAdjacentHTML("beforeend", text)',
    'element["innerHTML"] = text',
    '<iframe srcDoc={text} />',
    'document.write(text)',
  ])('%s', async (code) => {
    expect(await complaints(code)).toEqual(['Text stays text: never make markup of it.'])
  })

  test('inline styles, which the content security policy would drop', async () => {
    expect(await complaints('<p style={{ color: "red" }} />')).toEqual([
      'The content security policy allows no inline styles: use a class.',
    ])
  })

  test('nothing of ordinary text', async () => {
    expect(await complaints('<p className="a">{text}</p>')).toEqual([])
  })
})
