// 三道挑战：做出来按“核对”，当场用网络验。
function labChallenges(panel) {
  return labElement("section", { className: "lab-challenges", label: "挑战" });
}
