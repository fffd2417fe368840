import { ESLint } from 'eslint'
import { describe, expect, test } from 'vitest'

// These tests show that the lint rules against markup made of a model's text report it.
// The rules need no types. Without types ESLint starts much faster.
const eslint = new ESLint({
  ruleFilter: ({ ruleId }) => ruleId === 'no-restricted-syntax',
  overrideConfig: { languageOptions: { parserOptions: { projectService: false, project: null } } },
})

async function lint(code: string): Promise<string[]> {
  const [result] = await eslint.lintText(code, { filePath: 'src/main.tsx' })
  return (result?.messages ?? []).map(({ message }) => message)
}

describe('the linter rejects', () => {
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
    expect(await lint(code)).toEqual(['Do not make markup of text.'])
  })

  test('inline styles, which the content security policy would drop', async () => {
    expect(await lint('<p style={{ color: "red" }} />')).toEqual([
      'Use a class: the content security policy allows no inline styles.',
    ])
  })

  test('nothing in ordinary text', async () => {
    expect(await lint('<p className="a">{text}</p>')).toEqual([])
  })
})
