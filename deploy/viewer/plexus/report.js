// A measurement report (PS3.16 TID 1500) as OHIF holds it: names for tags, and an item for a sequence of one.
const CODES = { measurements: '126010', group: '125007', finding: '121071', tracking: '112039', presence: '705057003' };

export const list = sequence => (sequence ? [].concat(sequence) : []);
const code = sequence => list(sequence)[0] || {};
const named = (items, name) => list(items).filter(item => code(item.ConceptNameCodeSequence).CodeValue === CODES[name]);
/** The measurement groups of a report. */
export const groupsOf = report =>
  named(report?.ContentSequence, 'measurements').flatMap(item => named(item.ContentSequence, 'group'));

/** Whether OHIF can draw a group: an outline on the pixels of one frame. */
export const isDrawable = group =>
  list(group.ContentSequence)
    .filter(item => item.ValueType === 'SCOORD')
    .flatMap(outline => list(outline.ContentSequence))
    .flatMap(image => list(image.ReferencedSOPSequence))
    .some(({ ReferencedFrameNumber: frames }) => list(frames).length < 2);

/** A unit as people write it: of UCUM's codes those that are no expression, else its meaning. */
function unitOf({ CodeValue = '', CodeMeaning = '' }) {
  const plain = CodeValue === "[hnsf'U]" ? 'HU' : CodeValue;
  return /^[A-Za-z0-9%/]+$/.test(plain) && plain !== '1' ? plain : CodeMeaning;
}

/** What a group is about, and what it says: `{ name, values: [{ what, value }] }`. */
export function valuesOf(group) {
  const items = list(group.ContentSequence);
  const about = code(named(items, 'finding')[0]?.ConceptCodeSequence).CodeMeaning;
  const name = about || named(items, 'tracking')[0]?.TextValue || '';
  const there = named(items, 'presence').map(item => code(item.ConceptCodeSequence).CodeMeaning);
  const presence = there.map(value => ({ what: '', value }));
  const numbers = items.filter(item => item.ValueType === 'NUM').map(item => {
    const { NumericValue, MeasurementUnitsCodeSequence } = code(item.MeasuredValueSequence);
    const unit = unitOf(code(MeasurementUnitsCodeSequence));
    const number = Number(list(NumericValue)[0]).toLocaleString([], { maximumSignificantDigits: 5 });
    return { what: code(item.ConceptNameCodeSequence).CodeMeaning, value: `${number} ${unit}`.trim() };
  });
  return { name, values: [...presence, ...numbers] };
}
