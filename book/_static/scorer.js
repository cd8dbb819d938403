// 术语表说一个词在哪一章讲；查询里有这个词，那一章就排在最前面
const asked = new URLSearchParams(window.location.search).get("q") || "";
const definedIn = () => Object.keys(DEFINED_IN).filter((term) => asked.includes(term)).map((term) => DEFINED_IN[term]);

var Scorer = {
  score: ([page, , , , score]) => score + (definedIn().includes(page) ? 1000 : 0),
  objNameMatch: 11,
  objPartialMatch: 6,
  objPrio: { 0: 15, 1: 5, 2: -5 },
  objPrioDefault: 0,
  title: 15,
  partialTitle: 7,
  term: 5,
  partialTerm: 2,
};
