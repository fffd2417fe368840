import js from '@eslint/js'
import jsxA11y from 'eslint-plugin-jsx-a11y'
import reactHooks from 'eslint-plugin-react-hooks'
import tseslint from 'typescript-eslint'

// The ways in which a model's text could become markup.
const sinks =
  '/^(dangerouslySetInnerHTML|innerHTML|outerHTML|srcdoc|srcDoc|insertAdjacentHTML|setHTMLUnsafe|createContextualFragment)$/'
const markup = [
  `JSXAttribute[name.name=${sinks}]`,
  `Property[key.name=${sinks}]`,
  `MemberExpression[property.name=${sinks}]`,
  `MemberExpression[property.value=${sinks}]`,
  'MemberExpression[object.name="document"][property.name=/^write(ln)?$/]',
]

export default tseslint.config({ ignores: ['dist', 'node_modules', '**/*.gen.ts'] }, js.configs.recommended, {
  files: ['**/*.{ts,tsx}'],
  extends: [
    tseslint.configs.strictTypeChecked,
    reactHooks.configs.flat.recommended,
    jsxA11y.flatConfigs.recommended,
  ],
  languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
  rules: {
    'no-restricted-syntax': [
      'error',
      ...markup.map((selector) => ({ selector, message: 'Do not make markup of text.' })),
      {
        selector: 'JSXAttribute[name.name="style"]',
        message: 'Use a class: the content security policy allows no inline styles.',
      },
    ],
    '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true }],
    '@typescript-eslint/no-confusing-void-expression': ['error', { ignoreArrowShorthand: true }],
  },
})
